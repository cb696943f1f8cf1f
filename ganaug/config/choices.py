"""The values that an option can take, where they are few names, and the upper limits of numbers."""

BREAST_CLASSES = ("Benign", "InSitu", "Invasive", "Normal")
SOURCE_NAMES = ("phantom", "paired-phantom", "bach", "breakhis", "mini-ddsm", "tcga-brca", "folder", "zip")
DRAWN = ("phantom", "paired-phantom")  # the sources that are drawn here, not read
MOST_FOLDS = 500  # of all repeats together, as every fold has a generator of its own
EXTRACTOR_NAMES = (
    "inception",
    "efficientnet_lite0",
    "efficientnet_lite1",
    "squeezenet",
    "dinov2",
    "clip",
    "timm",
    "torchscript",
    "classifier",
    "pixels_pca",
)  # of features, the best known first
FILE_EXTRACTORS = ("dinov2", "clip", "timm", "torchscript")  # whose weights are a file that the user names
FITTED_EXTRACTORS = ("classifier", "pixels_pca")  # that are made from the fold's training images
NAMED_EXTRACTORS = tuple(name for name in EXTRACTOR_NAMES if name not in FILE_EXTRACTORS)  # that a name is enough for
SNAPSHOT_EXTRACTORS = ("auto", "none", *NAMED_EXTRACTORS)  # what may score snapshots
VALIDATION, HELD_OUT = "validation", "held-out"  # whose images stand for patients that a generator did not see
UNSEEN = {VALIDATION: "validation patients", HELD_OUT: "validation and test patients"}
KNOWS_TEST_PATIENTS = (
    "These figures know the test patients. Choose no generator, no snapshot, no truncation and no filter by them: a "
    "study of such a choice would test on patients who made it."
)
MOST_IMAGES = 10_000_000  # of a class, that a generator is asked for
SCHEME_NAMES = ("k-fold", "repeated", "leave-one-out", "hold-out", "fixed")
STAINS = ("none", "macenko", "reinhard")
TRUNCATIONS = ("global", "class")  # whose mean w truncation draws towards
BUILT_IN = PHANTOM, NO_WEIGHTS = "phantom", "none"  # what a training can begin with, besides a file
ON_ALARM = CONTINUE, STOP = "continue", "stop"  # what a training does when it raises an alarm
DISCRIMINATORS = ("stylegan2", "projected")  # that teach a generator
ADA_PIPELINES = ("none", "blit", "bg", "bgc", "bgcfnc", "histology")  # of the discriminator's images
COLOUR_PROBE = "probe:colour"  # that sees the mean colour and the stain of an image only
BASELINE, CONTROL, TREATMENT, SYNTHETIC_ONLY = "real", "real-oversampled", "real+synthetic", "synthetic-only"
POOLED = f"mean of {BASELINE} and {CONTROL}"  # what the treatment is judged against: both hold the real images alone
WEIGHTED, BALANCED = "real-weighted", "real+synthetic-balanced"  # all classes alike, without and with a generator
FILTERED = "real+synthetic-filtered"
SHUFFLED = "real+shuffled-synthetic"
ORACLE = "real+more-real"  # real images that the other arms of a fraction do not have
EXTERNAL = "real+external"  # images of another tool, with --external
LEAKY = "real+leaky-synthetic"  # under --leak-audit alone, and never part of an answer
PAPER_NAMES = ("resvit-gannet", "dalaresnet50")  # whose protocol can be replicated
DEFAULT_ARMS = (BASELINE, CONTROL, TREATMENT, SYNTHETIC_ONLY)  # of the study: what a classifier is trained on
ARM_NAMES = (
    *DEFAULT_ARMS,
    WEIGHTED,
    "real-classical",
    BALANCED,
    FILTERED,
    SHUFFLED,
    ORACLE,
    EXTERNAL,
    LEAKY,
)  # those that add images also with a ratio of their own, such as real+synthetic@0.5
MAP_METHODS = ("gradcam", "dt_gradcam", "winsor_cam", "random", "centre")  # that show what a decision rests on
LAYOUT_LEVELS = ("class", "part", "magnification", "site", "patient", "other")  # what a folder level can be
