"""What default answers are made of: words, a question's evidence, values for a schema."""
