"""Facts as put to a model: prompts and names as tokens, what it answers, which it knows, the known ones recalled."""
