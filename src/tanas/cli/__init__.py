"""The command line: one function a command. torch is imported inside commands only, so that --help is instant."""
