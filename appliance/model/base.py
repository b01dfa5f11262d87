"""The base model's folder: found by name, judged before anything in it is read by a library, loaded.

What is refused here would run code (pickle weights, `auto_map`) or fail after hours of training
(quantised weights that nothing can be merged into, a template without its stop token).
"""

import json
import warnings
from pathlib import Path
from typing import Any

from appliance.errors import BadInput
from appliance.model.chat import end_of_turn
from appliance.model.memory import is_out_of_memory
from appliance.run.plan import is_path
from appliance.sentence import reason, say

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")
"""Files that unpickling loaders take for weights or arrays."""

CONFIGS = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
"""Files in which `auto_map` names code to be imported."""

NEXT_STEP = say(
    "Choose another installed model, or ask the bundle's sender for one with safetensors weights only."
)


def resolve_base(name: str, models_dir: Path) -> Path:
    """The folder of the model that a plan names: one under `models_dir`, or a path.

    Raises: BadInput, when there is none, saying which are installed.
    """
    if is_path(name):
        folder = Path(name).expanduser()
    else:
        if ".." in Path(name).parts:
            raise BadInput(
                say("{name} is no model's name.", name=name),
                why="it holds `..`",
                next_step="Write `org/name`.",
            )
        folder = models_dir / name
    if not (folder / "config.json").is_file():
        installed = ", ".join(installed_models(models_dir)) or say("none")
        raise BadInput(
            say("There is no model {name}.", name=name),
            why=say(
                "{folder} holds no config.json; installed: {installed}", folder=folder, installed=installed
            ),
            next_step="Write the name of an installed model, or the path of a model's folder.",
        )
    return folder.resolve()


def installed_models(models_dir: Path) -> list[str]:
    """Names of the models under `models_dir`, at most two levels deep, sorted."""
    found = [*models_dir.glob("*/config.json"), *models_dir.glob("*/*/config.json")]
    return sorted(path.parent.relative_to(models_dir).as_posix() for path in found)


def model_name(folder: Path) -> str:
    """How a model's folder is called in documents that leave the box: `org/name` or `name`, never a path."""
    parent = folder.parent.name
    # Installed models lie in `…/models/org/name`; anything else is called by its folder alone.
    return f"{parent}/{folder.name}" if folder.parent.parent.name == "models" else folder.name


def check_base(folder: Path) -> None:
    """Judge a model's folder from names and JSON alone; no library has touched it yet.

    Raises: BadInput, for pickle weights, code to be imported, no safetensors weights, missing
    shards, weights that are quantised already, or no tokenizer.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise _refused(
                folder, say("{file} holds pickled data, which runs code when it is loaded", file=path.name)
            )
    for name in CONFIGS:
        if (folder / name).is_file() and _has_key(_json(folder / name), "auto_map"):
            raise _refused(
                folder, say("{file} has `auto_map`, which imports code from the model's folder", file=name)
            )
    config = _json(folder / "config.json")
    if isinstance(config, dict) and config.get("quantization_config"):
        raise _refused(folder, "its weights are quantised already: an adapter could not be merged into them")
    weight_files(folder)
    if not (folder / "tokenizer.json").is_file():
        raise _refused(folder, "it holds no tokenizer.json")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold the weights of the model in `folder`, as its index names them.

    What else lies there is never loaded: some models come a second time in a form of their maker's own.

    Raises: BadInput, when there are none, or the index names something that is not a file beside it.
    """
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if not index.is_file():
        if single.is_file():
            return [single]
        raise _refused(folder, "it holds no safetensors weights")
    document = _json(index)
    weights = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise _refused(folder, say("{file} has no `weight_map`", file=index.name))
    names = sorted({str(name) for name in weights.values()})
    for name in names:
        if name != Path(name).name or not name.endswith(".safetensors"):
            raise _refused(
                folder, say("{file} names {name}, which is no weights", file=index.name, name=name)
            )
        if not (folder / name).is_file():
            raise _refused(folder, say("the shard {file} is missing", file=name))
    if single.is_file() and single.name not in names:
        # transformers takes the one, other readers the others.
        raise _refused(folder, say("{file} lies beside an index that does not name it", file=single.name))
    return [folder / name for name in names]


def context_tokens(folder: Path) -> int | None:
    """The longest text that the model was made for, in tokens; None when its config does not say."""
    config = _json(folder / "config.json")
    for part in (config, config.get("text_config")) if isinstance(config, dict) else ():
        limit = part.get("max_position_embeddings") if isinstance(part, dict) else None
        if isinstance(limit, int) and limit > 0:
            return limit
    return None


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`, with a pad token and a template that ends answers with a stop token.

    Raises: BadInput, when it cannot be read or lacks one of these.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises plain ones
        raise _refused(folder, say("its tokenizer cannot be read: {error}", error=error)) from error
    stop = end_of_turn(tokenizer)
    if tokenizer.convert_tokens_to_ids(stop) not in stop_ids(folder, tokenizer):
        raise _refused(
            folder,
            say(
                "its template ends answers with {stop}, which is not among the tokens that it stops at",
                stop=stop,
            ),
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = stop
    return tokenizer


def stop_ids(folder: Path, tokenizer: Any) -> list[int]:
    """Ids of every token that generation stops at: the model's own list, and the tokenizer's end token."""
    path = folder / "generation_config.json"
    document = _json(path) if path.is_file() else {}
    listed = document.get("eos_token_id") if isinstance(document, dict) else None
    ids = listed if isinstance(listed, list) else [listed]
    return sorted({int(each) for each in [*ids, tokenizer.eos_token_id] if each is not None})


def load_base(folder: Path, *, dtype: str = "auto", attention: str = "sdpa", nf4: bool = False) -> Any:
    """The causal language model in `folder`, in evaluation mode.

    dtype: a torch dtype's name, or `auto` for the one it is stored in
    attention: a name that transformers knows or that was registered with it
    nf4: its linear layers quantised to four bits, as a QLoRA adapter is trained over them; on the GPU
        where there is one

    Raises: BadInput, when the weights cannot be read.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    from appliance.model.nf4 import fix_computation, nf4_settings

    logging.disable_progress_bar()
    # PEFT asks transformers by an old name; nobody here can do anything about it.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attention,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            quantization_config=nf4_settings() if nf4 else None,
        )
    except Exception as error:  # shapes that differ from the config's are a RuntimeError, a torn file its own
        if is_out_of_memory(error):
            raise
        raise _refused(folder, say("its weights cannot be read: {error}", error=error)) from error
    if nf4:
        fix_computation(model)
    return model.eval()


def load_with_adapter(
    folder: Path, adapter: Path, *, dtype: str = "auto", attention: str = "sdpa", nf4: bool = False
) -> Any:
    """The model in `folder` with the PEFT adapter in `adapter` on it (in float32), in evaluation mode.

    nf4: as for `load_base`; true for an adapter that was trained by QLoRA

    Raises: BadInput, when either cannot be read.
    """
    from peft import PeftModel

    model = load_base(folder, dtype=dtype, attention=attention, nf4=nf4)
    if not (adapter / "adapter_model.safetensors").is_file():
        raise BadInput(
            say("{folder} holds no adapter.", folder=adapter),
            why="adapter_model.safetensors is not there",
            next_step="Train the run to its end first.",
        )
    return PeftModel.from_pretrained(model, adapter).eval()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise _refused(
            path.parent, say("{file} cannot be read: {error}", file=path.name, error=error.strerror)
        ) from error
    except ValueError as error:
        raise _refused(
            path.parent, say("{file} is no JSON: {error}", file=path.name, error=reason(error))
        ) from error


def _has_key(document: Any, key: str) -> bool:
    """Whether `key` stands anywhere in a JSON document."""
    if isinstance(document, dict):
        return key in document or any(_has_key(value, key) for value in document.values())
    return isinstance(document, list) and any(_has_key(value, key) for value in document)


def _refused(folder: Path, why: str) -> BadInput:
    return BadInput(say("The model in {folder} is not usable.", folder=folder), why=why, next_step=NEXT_STEP)
