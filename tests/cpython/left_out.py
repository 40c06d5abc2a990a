"""What of CPython's suite is not run against lightwork, test by test, with what it reaches into."""

from __future__ import annotations

_THREADS = "reads `_threads`, the set of a ThreadPoolExecutor's threads"
_PROCESSES = "reads `_processes`, the dict of a ProcessPoolExecutor's multiprocessing.Process objects"
_MANAGER = "reads `_executor_manager_thread`, the thread of a ProcessPoolExecutor"
_FORCED = "replaces or calls `_force_shutdown`, which CPython's two methods share"

LEFT_OUT = {
    "threads": {
        "ThreadPoolShutdownTest.test_threads_terminate": _THREADS,
        "ThreadPoolShutdownTest.test_context_manager_shutdown": _THREADS,
        "ThreadPoolShutdownTest.test_del_shutdown": _THREADS,
        "ThreadPoolShutdownTest.test_shutdown_no_wait": _THREADS,
        "ThreadPoolShutdownTest.test_thread_names_assigned": _THREADS,
        "ThreadPoolShutdownTest.test_thread_names_default": _THREADS,
        "ThreadPoolExecutorTest.test_default_workers": "reads `_max_workers`, and expects CPython's own default in it",
        "ThreadPoolExecutorTest.test_saturation": _THREADS,
        "ThreadPoolExecutorTest.test_idle_thread_reuse": _THREADS,
    },
    "processes": {
        "ProcessPoolShutdownTest.test_processes_terminate": _PROCESSES,
        "ProcessPoolShutdownTest.test_context_manager_shutdown": _PROCESSES,
        "ProcessPoolShutdownTest.test_del_shutdown": _PROCESSES,
        "ProcessPoolShutdownTest.test_shutdown_no_wait": _PROCESSES,
        "ProcessPoolShutdownTest.test_shutdown_gh_132969_case_1": _MANAGER,
        "ProcessPoolShutdownTest.test_shutdown_gh_132969_case_2": _MANAGER,
        "ProcessPoolExecutorTest.test_killed_child": _PROCESSES,
        "ProcessPoolExecutorTest.test_broken_process_pool_traceback": _PROCESSES,
        "ProcessPoolExecutorTest.test_saturation": _PROCESSES,
        "ProcessPoolExecutorTest.test_idle_process_reuse_one": _PROCESSES,
        "ProcessPoolExecutorTest.test_idle_process_reuse_multiple": _PROCESSES,
        "ProcessPoolExecutorTest.test_max_tasks_per_child": _PROCESSES,
        "ProcessPoolExecutorTest.test_max_tasks_per_child_defaults_to_spawn_context": "reads `_mp_context`",
        "ProcessPoolExecutorTest.test_shutdown_no_wait_max_tasks_gh119592": _MANAGER,
        "ProcessPoolExecutorTest.test_gc_during_max_tasks_worker_exit_gh152967": _MANAGER,
        "ProcessPoolExecutorTest.test_force_shutdown_during_max_tasks_worker_exit": _MANAGER,
        "ProcessPoolExecutorTest.test_failed_worker_replacement_breaks_pool": _MANAGER,
        "ProcessPoolExecutorTest.test_python_finalization_error": (
            "replaces `threading._start_joinable_thread` to fail for CPython's second helper thread; lightwork has one"
        ),
        "ProcessPoolExecutorTest.test_terminate_workers": _FORCED,
        "ProcessPoolExecutorTest.test_kill_workers": _FORCED,
        "ProcessPoolExecutorTest.test_force_shutdown_workers_invalid_op": _FORCED,
        "ProcessPoolExecutorTest.test_force_shutdown_workers": _PROCESSES,
        "ProcessPoolExecutorTest.test_force_shutdown_workers_stops_pool": _PROCESSES,
        "ExecutorDeadlockTest.test_shutdown_deadlock_pickle": _MANAGER,
        "ExecutorDeadlockTest.test_gh105829_should_not_deadlock_if_wakeup_pipe_full": (
            "replaces `_ExecutorManagerThread.run` and `_ThreadWakeup`"
        ),
    },
}
