"""The product's own code under virtual time: whole histories of faults in milliseconds, judged by an independent model."""
