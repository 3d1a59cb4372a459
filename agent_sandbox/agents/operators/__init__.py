"""What turns earlier attempts into a new one: the operators that a search policy may ask for."""
