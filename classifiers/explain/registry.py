"""The registry of the methods that make a map of a decision."""

from classifiers.explain import dt_gradcam, gradcam, priors, winsor_cam
from classifiers.explain.method import MapMethod

METHODS: dict[str, MapMethod] = {
    "gradcam": gradcam.METHOD,
    "dt_gradcam": dt_gradcam.METHOD,
    "winsor_cam": winsor_cam.METHOD,
    "random": priors.RANDOM,
    "centre": priors.CENTRE,
}
