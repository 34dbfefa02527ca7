"""What all parts of a profile are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from magicoder_repro import benchmarks

Language = Literal["python", "cpp", "java", "typescript", "shell", "csharp", "rust", "php", "swift"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
Revision = Annotated[str | None, Field(description="the commit on the hub; null is unpinned, and the report says so")]
if TYPE_CHECKING:
    BenchmarkName = str
else:
    BenchmarkName = Literal[benchmarks.NAMES]


class Strict(BaseModel):
    """A mapping of settings; an unknown key is an error that knows the valid ones."""

    model_config = ConfigDict(frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        valid = sorted(field.alias or name for name, field in cls.model_fields.items())
        if isinstance(given, dict) and not given.keys() <= set(valid):
            raise PydanticCustomError("unknown_key", "a key that it does not have", {"valid": valid})
        return given
