"""What comes from outside and is not trusted: numbers, amounts, files, memory, JSON, code of a user's own."""
