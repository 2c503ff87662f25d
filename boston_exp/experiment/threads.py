"""How many threads the libraries use: one for a small table, where more cost time, much of it on a busy machine."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from boston_exp.process import remembered

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

CELLS = 5_000_000  # of training rows


@remembered()
def pools() -> ThreadpoolController:
    """The thread pools of BLAS and OpenMP; finding them takes 0.02 s."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def openmp_for(cells: int) -> AbstractContextManager[object]:
    """One OpenMP thread for a table of less than CELLS values. The bits are the same with any number.

    Threads of OpenMP that wait for each other spin: histogram gradient boosting of 500 rows takes 10 to 50 times as
    long in two processes on two cores, and no less alone.
    """
    return pools().limit(limits=1, user_api="openmp") if cells < CELLS else nullcontext()
