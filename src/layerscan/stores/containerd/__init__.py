"""The stores of containerd: ``store`` is the face of them."""
