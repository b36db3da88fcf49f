"""Self-checks: a claim, whether it holds, and a hint for when it does not."""

from helpers.errors import CourseError


def check(claim, holds, hint=""):
    """Print `✓ claim` when `holds` is true; otherwise raise CourseError with the claim and the hint."""
    if not bool(holds):
        raise CourseError(f"{claim}: this does not hold yet. {hint}".rstrip())
    print(f"✓ {claim}")
