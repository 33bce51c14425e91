"""Events of frameworks, in one line each: a module a framework, which imports it, and is imported by nothing else."""
