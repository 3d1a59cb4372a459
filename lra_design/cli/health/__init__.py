"""What `lra-design doctor` finds out about a machine."""
