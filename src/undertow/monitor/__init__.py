"""What a person sees: reports and measures of the running system."""
