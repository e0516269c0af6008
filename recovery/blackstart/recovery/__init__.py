"""Recovery: finding what is broken, snapshots, and the ways back."""
