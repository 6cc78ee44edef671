"""`python -m polymode`, which is what `accelerate launch -m polymode` starts."""

from polymode.cli import main

if __name__ == "__main__":
    main()
