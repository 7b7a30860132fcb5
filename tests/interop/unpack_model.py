"""Write a model in the GGUF format as Hugging Face's folder of plain weights.

``python unpack_model.py FILE FOLDER``, in an environment with transformers, accelerate and gguf.
"""

from __future__ import annotations

import sys
from pathlib import Path


def unpack(file: Path, folder: Path) -> None:
    """Write weights, configuration and tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    given = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    plain = {"dtype": torch.float32, "quantization_config": GgufConfig(dequantize=True)}
    AutoModelForCausalLM.from_pretrained(**given, **plain).save_pretrained(folder)
    AutoTokenizer.from_pretrained(**given).save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]))
