"""The tier that processes share."""
