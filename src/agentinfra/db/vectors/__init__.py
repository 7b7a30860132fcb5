"""Collections of vectors: written, searched, indexed."""
