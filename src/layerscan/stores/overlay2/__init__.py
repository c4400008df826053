"""The stores of Docker's overlay2 graph driver: ``store`` is the face of them."""
