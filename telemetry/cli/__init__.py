"""The commands, a file for each; a command is loaded when it is called."""
