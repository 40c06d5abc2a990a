"""``lightwork stacks``: what the workers of a running program are doing."""

from __future__ import annotations

import click

from lightwork.cli._terminal import FAILED, USAGE, fail


@click.command("stacks")
@click.argument("pid", type=int)
def stacks_(pid: int) -> None:
    """Show what the worker processes of the program PID are doing, whatever they are stuck in.

    Each worker's Python stack, the most recent call first. The program goes on; a wait in C code that minds no
    signals (usleep) may end early.
    """
    import psutil

    from lightwork._backends import _stacks

    try:
        workers = _stacks.workers_of(pid)
        answers = _stacks.ask(workers)
    except psutil.NoSuchProcess:
        fail(f"there is no process {pid}", USAGE)
    except psutil.AccessDenied:
        fail(f"process {pid} is somebody else's", USAGE)
    if not workers:
        fail(f"process {pid} has no worker processes now (threads and the calling thread are not shown)", FAILED)
    for number, worker in enumerate(workers):
        click.echo(f"{'' if not number else chr(10)}worker {worker}")
        click.echo(answers.get(worker, "  does not answer: stopped, held by the kernel, or just starting"))
