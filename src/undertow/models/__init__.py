"""Models behind one interface: fit, predict_proba, save, load."""
