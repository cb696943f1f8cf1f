"""Reference texts below the options of each command's help."""

PREPARE = """\
Data sets (nothing is downloaded: --source names a folder, or the official .zip or .tar.gz, which is read without being
unpacked):

\b
phantom    procedural tissue, drawn here; --patients, --images-per-patient
paired-phantom
           the same with expression: four subtypes of which tissue says one
           half and genes the other, both to a known degree
bach       Photos/{Benign,InSitu,Invasive,Normal}, 400 TIFFs of 2048x1536 px at
           0.42 um; --part test reads the unlabelled test set. Patients are
           mostly unknown: give --patients-csv, or use --split patient-safe,
           the published split of 268 and 132 images.
breakhis   BreaKHis_v1, however nested; --magnification, --task. Patients are
           accession numbers, as letter suffixes name slides of one patient
           (--group folder: slides). 14-13412 has two diagnoses and is dropped.
mini-ddsm  MINI-DDSM-Complete-JPEG-8 or -PNG-16. Patients are status and case;
           _Mask files become masks, never images.
tcga-brca  tiles in one folder per patient barcode; --clinical with PAM50 calls
           and --expression, both of UCSC Xena or cBioPortal. Primary tumours
           only; folds keep a tissue source site together.
folder     <class>/[<patient>/]*.png or more levels, or a CSV with the columns
           path,label[,group][,site][,magnification]
zip        StyleGAN's dataset.zip with dataset.json, as `ganaug export` writes

Without patients every image counts as a patient of its own, and images of one patient then leak between the parts.
The command says so, and so should you.

Folders. The command reports how it read the levels, for example class/magnification/patient. Where that is wrong or
ambiguous, name them from the top with --layout: class, part, magnification, site, patient, other. Where the folders
are train, val and test, --split parts keeps them. PNG, JPEG and TIFF are read; other images, slides and archives are
listed as skipped, with what to do, and a class that becomes smaller is named.

Names. Classes that differ only in case, spaces, Unicode form or zeros are refused until you choose --near-names merge
or keep. Such patients and sites are listed, and stay separate unless you merge them; merge also joins 14-10147 and
14-10147_slide2. --same-patient CSV, with the columns patient,same_as, joins exactly what it names. In every table
each row needs as many cells as the header; cells that contain a comma need double quotes.

Squares. --fit crop takes the central square, tile a grid of squares, resize the whole image whatever its aspect.
--field-um or --field-px sets the side of that square, which is then resampled, anti-aliased, to --resolution. EXIF
orientation is applied to images and masks; an image whose mask has another size is skipped. Grey files of 16 bits are
scaled by the largest value of the whole set (8 to 16 bits), and of files with several pages the first is read; notes
say so. The published pixel sizes of BreakHis are nominal; --um-per-px overrides them.

Folds. --scheme k-fold (the default), repeated, leave-one-out or hold-out; or --split CSV with the columns group,part.
--fold-by site keeps all patients of a laboratory together. Before a pixel is read it is known whether the patients
allow the folds; if not, the arithmetic is shown and what is possible is suggested. --folds-csv CSV repeats the folds
that `ganaug export --folds-csv` wrote, here or elsewhere, or that a paper lists: a row for each image (column image) or
patient (column group), and train, val or test in the columns fold0, fold1 and so on. Every image that can be used has
to be listed, and no other.

Copies. Images that occur twice, byte by byte or as the same picture recompressed, rotated, mirrored, cropped, squashed,
shifted, framed or inverted, are found across the whole data set: under different classes they are dropped, across
patients the patients count as one. Fields that overlap in part join their patients, and stay. Details that are smaller
than a pixel of the prepared images are not seen, and images below 32 px are compared as a whole; --whole-copies-only
leaves out all but copies of whole images, and so also framed and inverted ones.
Synthetic images of the workspace that were saved again among real ones are found and skipped.

Stain. --stain macenko or reinhard normalises to the training patients of each fold; the file then keeps the images as
every fold sees them. Images on which it fails are kept as they are and counted.
"""

AUDIT = """\
Sources. A folder or an archive of PNG, JPEG or TIFF files; a CSV with the column path, relative to its own folder, and
group (or patient) and site where it has them; a data set or a synthetic file of ganaug. What a CSV or --layout says of
patient and site counts. Else BreakHis names and TCGA barcodes say it, or else the folders, as `ganaug prepare` reads
them; a note says how the folders were read. Rows of a CSV whose file is missing still name their patient and site.

Findings. patient, site: a name that two parts have in common, unknown where under two parts name any; file: the same
bytes; copy: one picture shows what the other shows, recompressed, relit, inverted, framed, flipped, rotated, squashed
or cropped to half the side; overlap: two fields that have at least a third in common. Pictures with few details, such
as empty fields, are copies of nothing. Names that differ in Unicode form alone are one; those that differ in case,
spaces or zeros are listed in a note. A data set that joined patients does not keep all their names: a note says so.

Names. The table of --csv and what --json prints hold the names of files and their rows, as you gave them, and neither
patients nor sites: mind what the names of files and folders say before you pass them on. A spreadsheet may run names
that begin with = + - or @.
"""

TRAIN_GAN = """\
Presets:

\b
auto, standard      any data set: the published rule for the resolution on a GPU;
                    on a CPU a compact network with a projected discriminator,
                    begun from procedural tissue
small-data          a few hundred images: ADA augmentation, and classes that
                    come in once images have something in common
paper256, paper512  the paper's own settings for these resolutions
quick               minutes, to see that everything works

On a CPU the published rule would take months. There --discriminator projected teaches the generator: small heads
look at the maps of a frozen EfficientNet-Lite0 of ImageNet, and at the pixels (Sauer et al. 2021). --class-penalty has
images show their class as real ones do. --init phantom, the default there, begins with a generator that has learnt
procedural tissue and has seen no patient, --init none with nothing. No network judges the images that it taught.

The method on a GPU is StyleGAN2-ADA: lazy R1 and path length regularisation, style mixing, an average of the weights,
half precision in the four highest resolutions (--precision float32 switches it off). Real images are shown in their
eight orientations, as tissue has none of its own; --no-dihedral keeps the stored orientation. --ada-pipeline bgc is the
paper's, histology is limited to what tissue and stain can look like; ADA sets its probability, or --ada-p does.
--class-transition 100:300 trains without classes to 100 kimg and with all of them from 300 on, for data on which
conditioning collapses.

Stopping. Ctrl-C, SIGTERM and Slurm's SIGUSR1 save the state within one iteration (the last two end with status 0); a
killed run resumes from its last state. Either way training continues to the bit as if nothing had happened. The two
newest states are kept. A run that one process is training refuses another.

Reports. stats.jsonl holds losses, penalties, ADA's probability, ADA's heuristic, the discriminator's output on
training and validation images (where the two part, it overfits), speed and memory; --tensorboard writes the same for
TensorBoard. Every --snapshot-kimg a snapshot and a sheet of images are written, and scores.jsonl gets the snapshot's
Fréchet and kernel distances by --extractor, to training images and to as many images of validation patients. The
snapshot nearest to the training images and the newest three are kept; validation patients choose none, so that they
can judge it. At the end a note says whether more training would help.

Alarms. A warning, recorded in alarms.jsonl, says which option to change when the discriminator no longer errs, when
classes are named by a classifier of validation patients no better than by guessing, or when the distance to validation
patients has risen for long. --on-alarm stop ends the training there.

Several GPUs or machines. `torchrun --nproc-per-node 4 -m ganaug train-gan ...` divides the batch; a state serves any
number of processes. A batch that does not fit into a GPU's memory is computed in the largest pieces that fit;
--micro-batch sets their size.

Weights from elsewhere. --init FILE starts from a snapshot or an official pickle of StyleGAN2(-ADA), read without
running anything in it; classes may differ, and so may the resolution: finer details are then left out, or begin with
nothing. Nobody knows which patients such a pickle has seen, so the study refuses the result unless --init-saw
"BreCaHAD, 162 images" states it, which the report repeats among its warnings.

Weights for elsewhere. A snapshot is a safetensors file with JSON metadata (config, class_names, provenance) and
float32 tensors. In Python: ganaug.checkpoint.load_generator(path)(z, c, psi=0.7, noise_mode="const").
"""

SYNTHESIZE = """\
The best snapshot of each fold makes as many images per class as the study draws; --per-class 2000, or --count
Benign=500 for one class, changes that. --psi 0.7 and --psi-of Invasive=0.5 truncate, --truncation class towards the
class's own mean.

A seed gives the same images, byte for byte on one kind of device, whatever --batch, --workers or --shard. --shard
0/4, or auto under torchrun and in Slurm arrays, makes one piece; the last one to finish merges them.

Filters. --reject confidence=0.5 keeps images that a classifier recognises as their class, --reject-copies those that
are no copy of a training image, be it blurred, rotated, cropped or of another stain. Filters are fitted on the fold's
training patients only; the file records what they passed.

Which file serves a fold. Of several generators for this data set and these folds, the one configured last; of its
synthetic files, the last one with enough images. Every command follows this rule, prints which file it took, and lets
you choose another with --gan NAME or --synthetic FILE. The order comes from times inside the files, so copying
changes nothing.
"""

EVALUATE_GAN = """\
Extractors turn images into features; the default is the first of these that is at hand and did not teach the generator:

\b
inception           the network of FID and KID; needs its published weights
efficientnet_lite0  its weights are installed with this tool
efficientnet_lite1, squeezenet
                    need theirs; `ganaug doctor` lists the files and origins
classifier          a small one of the fold's training images, trained when it
                    is first needed
pixels_pca          colour and coarse layout of these images; no network

Files of your own: dinov2=FILE, clip=FILE, timm:NAME=FILE for any network of timm, and torchscript=FILE, a program that
is run: open only what you trust. torchscript:LABEL=FILE puts a label into the names of its figures. Published weights
may be given as a file, too: inception=FILE. An extractor that gives different images the same features is refused.

Several extractors may be given. Each gives the distances, precision, recall and the like, named after it as in
kernel[squeezenet1_0-b66bff10]; FID and KID are those on Inception's published weights. The labels (agreement, class
separation, CAS) and the features of the copies (authenticity, C_T) are of the first one alone.

Columns, each shown where a figure has it:

\b
value            of all training images (real) and the synthetic ones
interval         where value lies with 95 %, over other patients like these
at n, value at n the same of n training images and n synthetic ones
floor            the same of n and n training images that share no patient;
                 compare value at n with it and floor's interval, not with 0
ratio            value at n divided by floor, where more is better; 1 is as
                 good as real images
held-out n, held-out, held-out floor
                 patients that the generator did not see, with as many
                 synthetic images, and with as many training images
p                how probable so large a distance would be if the synthetic
                 images were of other patients

A distance far below its floor, and not so on held-out patients, is that of copies.

Held out are the validation patients. With --against held-out the test patients are, too: for a last report only, as
nothing may be chosen by them.

The page of each file, with pictures, is evaluations/<synthetic file>.html in the workspace. It shows images of patients
and names nobody.
"""

EVALUATE_AUGMENTATION = """\
Arms: real, real-oversampled (the control), real+synthetic and synthetic-only, all trained with the same number of
optimizer steps and, per fold and seed, from the same initial weights; --arm adds more, which the README explains.

Weights. --pretrained dalaresnet50=resnet50.pth starts a classifier from a local file, whole or of a backbone.
efficientnet_lite0 and efficientnet_lite1 start from their published ImageNet weights, unless --pretrained
efficientnet_lite0=none is given. Weights with a record of this tool are checked against the folds, published files
are known by their digest, and anything else needs your statement: --pretrained-saw dalaresnet50="photographs of
ImageNet", which the report repeats among its warnings. Every timm model is a classifier: --classifier
timm:convnext_tiny.

Linear probes. --classifier probe:efficientnet_lite0 trains a logistic regression on frozen features (also inception,
efficientnet_lite1, squeezenet), in well under a second once the features are stored. Encoders of your own: --classifier
probe:timm:vit_large_patch16_224.mae with --pretrained probe:timm:vit_large_patch16_224.mae=FILE, or probe:torchscript
with a TorchScript file, which is a program that is run: open only what you trust.

Cells that are finished, here or in an earlier study of the workspace, are not trained again. Each report lists all
other studies of the same patients in the workspace.
"""

TRAIN_CLASSIFIER = """\
A classifier is trained as a cell of a study with the same options: --images real as the arm of that name,
real+synthetic as the other. Weights to start from are admitted as there: those with a record of this tool are checked,
published files are known by their digest, and anything else needs --pretrained-saw, which is kept with the classifier.

What is kept. classifiers/<data set>-<name>-fold<k>-<digest> holds classifier.safetensors (weights, temperature, how
images become its squares, and the patients and pictures that it was trained or selected on, as digests), config.json,
history.jsonl and scores.json. The validation patients count as seen, as they choose the weights and the temperature.
The scores on the test part are of one run on one fold; evaluate-augmentation compares.

Linear probes. --classifier probe:efficientnet_lite0 keeps a logistic regression on frozen features; encoders of your
own need --pretrained FILE, here and again in `ganaug predict`, as only the regression and the digest of that file are
kept. It has no steps and no learning rate, so options of these are refused. What was stopped finds its features again.

Tiles and expression. --classifier cross_attention reads a data set with expression (tcga-brca with --expression, or
paired-phantom). Four arms are trained alike on each fold and seed: both inputs, genes, image, and the published
network, whose image cannot matter. Scores are of unseen patients, and the increment over the genes has an interval. The
model of the first seed is kept as patients.safetensors, with the scales of its training patients; open it in Python
with ganaug.classify.stored_patients.open_patient_model. Of every training the probabilities of its test patients are
kept, as tested.json: the same command resumes with the next training. Options of images are refused.

Stopping. Ctrl-C, SIGTERM and SIGUSR1 save the state within one step; the same command resumes, on the CPU to the bit.
"""

PREDICT = """\
Images are PNG, JPEG or TIFF files in a folder, however nested, in a .zip or .tar.gz, or one file. They are cut,
resampled and stain-normalised as `ganaug prepare` did for the classifier's data set; those that cannot be read are
skipped and named. Grey of 16 bits is scaled as that of the data set was, else from its full range, so that no image
depends on the others. Probabilities are the mean over the eight orientations, after the temperature. A probe on an
encoder of your own needs the file that it was trained with: --pretrained FILE. Another file is refused.

The table has one row per image: image, patient, seen in training (yes; patient, where the classifier saw other images
of the patient; no), predicted, and a probability per class. Where patients are known a second table,
<name>-patients.csv, has one row per patient, the mean over their images. Files that this command did not write are not
replaced. Names stand as they are: a spreadsheet may run those that begin with = + - or @.

Names of BreakHis images give class and patient, TCGA barcodes the patient. Else the level whose folders are all named
as classes is read as the class, and the next one as the patient; --layout names the levels otherwise, --patients CSV
names the patients.

A test. --test scores against the names of the classes and writes <name>-scores.json, which says what was compared. It
is refused where any image shows a picture that the classifier was trained or selected on, whatever its size or
orientation, or bears the name of its file, or where a patient bears the name of one of those; and where the
classifier's data set, which these names are compared with, lies neither around the classifier nor in --workspace.
Pictures are compared as they are predicted, squashed to a square, and cut to the central square. Other crops of a
picture, and originals of which the data set holds other crops, are recognised by the name of the file alone: one with
letters and digits that is unique in the data set, or the whole path.
"""

EXPLAIN = """\
Methods: gradcam (by torchcam, also on the tokens of a vision transformer), dt_gradcam (Grad-CAM, zero below a threshold
that each map sets by itself), winsor_cam (Grad-CAM of all convolutional layers; convolutional networks only), and two
maps that never look at the network, random and centre. A method that is no better than these shows nothing of it.

Thresholds: otsu, mean+sd or a multiple as in mean+1.5sd, percentile:90. The paper of DT Grad-CAM does not give its
rule; Otsu's is our choice.

Deletion and insertion take away, or bring back, the pixels that a map marks most first, and follow the probability of
the predicted class. What is taken away shows the image blurred, or the mean colour of its tissue; never black. Where
the data set has masks (phantom, mini-ddsm, folders with masks), the area in common and the highest point are compared
with them. Last, layers are made random one after the other: a map that stays the same does not show what was learned.

Probabilities, predicted classes and accuracy are those of predict, on average over eight orientations; maps and curves
are of the image as it lies. The data set has to be as it was at the training: one that was prepared again may show
training patients as unseen, and is refused.

The page and its PNG files lie in explanations/ next to the classifier. They show images of patients, and name nobody.
A map is no finding: it says where a network looks, and not whether it is right.
"""

DOCTOR = """\
Weights. Nothing is downloaded: the weights of EfficientNet-Lite0 and Lite1 are installed with this tool, all others
come from local files in one folder, --weights-dir or $GANAUG_WEIGHTS. This command lists the files that are known,
where to get them, and what their absence costs. Weights and pickles are read without running code in them.

Signatures. GANAUG_KEY=FILE signs every record that is written with the key in that file, and accepts none without it;
see the README, "What is checked".

Native operators. At first use the generator's operators are compiled for this machine (half a minute with a C++
compiler, once; never at import) and kept in ~/.cache/ganaug/ops, or $GANAUG_OPS_CACHE. Without a compiler PyTorch's
own, slower ones run, and one warning says so. GANAUG_OPS=native requires the compiled ones, GANAUG_OPS=ref switches
them off. `python -m custom_ops build [--cuda]` compiles ahead, for container images and clusters; `python -m
custom_ops info` prints what runs and why. They are loaded only from a folder that nobody but you or root can write.
"""
