"""The stores of containers/storage, which Podman has: ``store`` is the face of them."""
