"""``lightwork doctor``: what this machine offers."""

from __future__ import annotations

import click

from lightwork.cli._terminal import put, width


@click.command()
@click.option("--json", "--as-json", "as_json", is_flag=True, help="Print data instead of text.")
def doctor(as_json: bool) -> None:
    """Say what this machine offers to parallel work, and what would go wrong."""
    from lightwork import _doctor
    from lightwork.report.text import fill

    diagnosis = _doctor.diagnose(_doctor.look())
    if as_json:
        put(diagnosis.to_json())
        return
    for line in _doctor.describe(diagnosis.evidence):
        click.echo("\n".join(fill(line, width(), "    ", first="")))
    click.echo()
    for finding in diagnosis.findings:
        mark = "!!" if finding.level == "warning" else "- "
        click.echo("\n".join(fill(f"{mark} {finding.what}", width(), "   ", first="")))
        click.echo("\n".join(fill(f"-> {finding.remedy}", width(), "      ", first="   ")))
    if not any(finding.level == "warning" for finding in diagnosis.findings):
        click.echo("Nothing stands in the way of parallel work here.")
    for unknown in diagnosis.unknown:
        click.echo("\n".join(fill(f"Not enough evidence on {unknown.rule}: {unknown.why}.", width())))
