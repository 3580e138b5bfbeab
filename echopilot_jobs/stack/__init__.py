"""What starts the stack and what lives inside supervisord. `bootstrap` needs nothing but Python's own library."""
