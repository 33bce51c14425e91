"""Events of frameworks, in one line each: a module per framework, which imports it, and which nothing else imports."""
