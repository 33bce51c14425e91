"""The commands, one file each; a command is loaded when it is called."""
