"""What the server is told to answer, and what is said when it was asked otherwise."""
