"""Runs llama.cpp's converter in a process of its own, from its own tree; started by path, never imported.

    python -I launch_converter.py CONVERTER FAMILY [arguments of convert_hf_to_gguf.py]

FAMILY: the pre-tokenizer's name in llama.cpp, used when the converter does not know the tokenizer; or
`-`. The converter's own `gguf` is imported before any installed one: the two differ at the same version.
Code that comes with a model is never run, whatever the converter asks for.
"""

import contextlib
import ctypes
import runpy
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

PR_SET_PDEATHSIG = 1
"""Source: Linux, include/uapi/linux/prctl.h."""


def main() -> None:
    """Prepare the interpreter, then run the converter unchanged."""
    end_with_parent()
    converter, family = Path(sys.argv[1]), sys.argv[2]
    sys.path[:0] = [str(converter / "gguf-py"), str(converter)]
    refuse_model_code()
    name_unknown_tokenizers(converter, None if family == "-" else family)
    sys.argv = ["convert_hf_to_gguf.py", *sys.argv[3:]]
    runpy.run_path(str(converter / "convert_hf_to_gguf.py"), run_name="__main__")


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it is killed.

    Else it would go on to write where the next export is written.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library, another system
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def refuse_model_code() -> None:
    """Make transformers unable to import Python files of a model, also with trust_remote_code=True."""
    from transformers import dynamic_module_utils

    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise SystemExit("the model asks to run code of its own, which is never done here")

    dynamic_module_utils.get_class_from_dynamic_module = refuse
    dynamic_module_utils.get_class_in_module = refuse


def name_unknown_tokenizers(converter: Path, family: str | None) -> None:
    """Let the converter take `family` for a tokenizer whose token hash is not in its list."""
    gguf, base = import_module("gguf"), import_module("conversion.base")
    if not Path(str(gguf.__file__)).is_relative_to(converter):
        raise SystemExit(f"gguf was imported from {gguf.__file__}, not from the converter's tree")
    listed = base.TextModel.get_vocab_base_pre

    def named(self: Any, tokenizer: Any) -> str:
        try:
            return str(listed(self, tokenizer))
        except NotImplementedError:
            if family is None:
                raise
            print(f"pre-tokenizer: {family}, known by its pattern")
            return family

    base.TextModel.get_vocab_base_pre = named


if __name__ == "__main__":
    main()
