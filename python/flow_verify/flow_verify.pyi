"""Is an answer the known one? Exact, explained, three-valued."""

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack, final

__version__: str
PRESETS: list[str]

Preset = Literal["gsm8k", "math", "aime", "boxed", "numeric", "choice", "exact"]

class Extraction(TypedDict, total=False):
    """Where a text states its answer."""

    extract: str
    """`auto`, `boxed`, `final_line`, `tag`, `phrase`, `last_line`, `last_number`, `last_expression`, `choice`, `whole`,
    `json:PATH` or `regex:PATTERN`."""
    strictness: Literal["strict", "normal", "lenient"]
    boxes: Literal["last", "joined", "all"]

class Keys(Extraction, total=False):
    """What counts as the same answer."""

    compare: Literal["math", "exact", "numeric"]
    percent: Literal["either", "value", "sign"]
    decimals: str
    """`exact`, `doubt`, `rounded`, `places:N` or `relative:N`."""
    order: Literal["any", "listed"]
    units: Literal["optional", "required"]

@final
class Verdict:
    """What is known of an answer. True in a condition only when it is `equal`."""

    @property
    def outcome(self) -> Literal["equal", "different", "unknown"]: ...
    @property
    def method(self) -> str:
        """The rule that decided."""
    @property
    def witness(self) -> str:
        """What decided, for a person."""
    @property
    def extracted(self) -> str | None:
        """The answer that was compared; `None` when none was found."""
    def __bool__(self) -> bool: ...

def verify(
    gold: str | Sequence[str],
    answer: str,
    *,
    preset: Preset | None = None,
    choices: Sequence[str] | None = None,
    **keys: Unpack[Keys],
) -> Verdict:
    """Whether `answer` is `gold`, or one of several known answers.

    Without a preset and without `extract`, `answer` is compared as it stands, and searched for an answer where that decides
    nothing. With one, `answer` is a completion that states its answer somewhere. Raises `ValueError` for an unknown preset,
    key or value. Releases the GIL.
    """

def extract(text: str, *, preset: Preset | None = None, **keys: Unpack[Extraction]) -> str | None:
    """The answer that `text` states; `None` when it states none. Raises `ValueError` as `verify` does."""
