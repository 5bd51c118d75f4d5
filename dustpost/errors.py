"""The one exception whose message is meant for the person at the terminal."""


class DustpostError(Exception):
    """Bad input: one sentence that names the file, the value and the mend.

    The command line prints it without a traceback and ends with exit code 2.
    """
