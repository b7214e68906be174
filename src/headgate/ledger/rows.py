"""What an engine writes down: rows from which every balance, hold and window can be made again.

A row is a plain tuple whose first member is its kind, so that a batch of them is one msgpack array. Accounts, windows
and paths are announced once and then go by number; paths by numbers that hold until the next checkpoint. Order is
meaning: any prefix of the rows is a state that was, in which nothing exceeded its limit.

==========  ============================================================================================
kind        members after it
==========  ============================================================================================
ACCOUNT     number, kind, scope id, budget id, period id, limit, enforced, starts (ms), ends (ms)
WINDOW      number, name, shape, limit, smooth
PATH        number, account numbers, window numbers
INTENT      rid, path number, wall ms, nano-USD, tokens, expected tokens, memo
ATTEMPT     rid
EXTEND      rid, wall ms, nano-USD, tokens, expected tokens
RELEASE     rid, wall ms, nano-USD, tokens, expected tokens
PART        rid, wall ms, nano-USD, tokens, payee
END         rid, wall ms, nano-USD, tokens (nil: as admitted), payee, state, reason, payload
ADJUST      wall ms, account numbers, nano-USD (signed), reason
NOTE        wall ms, payload
==========  ============================================================================================

An account or window is announced again when its limit changes. ``END`` is the one terminal row of a reservation, and
its payload is the caller's own (the request's record); ``NOTE`` carries one of a request that held nothing. A memo is
the caller's too: what a start is told of a request that the process before did not end.
"""

from typing import Any, Final

Row = tuple[Any, ...]

ACCOUNT: Final = 0
WINDOW: Final = 1
PATH: Final = 2
INTENT: Final = 3
ATTEMPT: Final = 4
EXTEND: Final = 5
RELEASE: Final = 6
PART: Final = 7
END: Final = 8
ADJUST: Final = 9
NOTE: Final = 10
