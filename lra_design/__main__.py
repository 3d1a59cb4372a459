"""`python -m lra_design`: the command line, by the interpreter that runs this."""

from lra_design.cli import main

if __name__ == "__main__":
    main()
