"""The data sets inside the scikit-learn wheel as CSV files with their splits, and the baselines of each task.

    python3 diagnosis.py FOLDER

writes FOLDER/seedN/{breast-cancer,wine,digits,diabetes}.csv (column `split`: stratified 60/20/20) and
FOLDER/baselines.csv: what logistic or ridge regression and gradient boosting, with default settings on standardised
features, say of each test row. The data: UCI Breast Cancer Wisconsin (Diagnostic), Wine, Optical Recognition of
Handwritten Digits; diabetes of Efron et al. 2004.
"""

import csv
import pathlib
import sys

import numpy
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SEEDS = [0, 1, 2]
TASKS = [
    ("breast-cancer", load_breast_cancer, True),
    ("wine", load_wine, True),
    ("digits", load_digits, True),
    ("diabetes", load_diabetes, False),
]


def splits(targets, classes, seed):
    rows = numpy.arange(len(targets))
    groups = targets if classes else None
    train, rest = train_test_split(rows, test_size=0.4, random_state=seed, stratify=groups)
    groups = targets[rest] if classes else None
    validation, test = train_test_split(rest, test_size=0.5, random_state=seed, stratify=groups)
    return {"train": train, "validation": validation, "test": test}


def main(folder):
    baselines = []
    for seed in SEEDS:
        place = folder / f"seed{seed}"
        place.mkdir(parents=True, exist_ok=True)
        for name, load, classes in TASKS:
            data = load()
            names = [str(column).replace("/", " ")[:24] for column in data.feature_names]
            parts = splits(data.target, classes, seed)
            split_of = {row: split for split, rows in parts.items() for row in rows}
            with open(place / f"{name}.csv", "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow([*names, "target", "split"])
                for row, (inputs, target) in enumerate(zip(data.data, data.target)):
                    writer.writerow([*(repr(float(value)) for value in inputs), target, split_of[row]])
            if classes:
                models = {"logistic regression": LogisticRegression(), "gradient boosting": GradientBoostingClassifier(random_state=seed)}
            else:
                models = {"ridge regression": Ridge(), "gradient boosting": GradientBoostingRegressor(random_state=seed)}
            for model_name, model in models.items():
                fitted = make_pipeline(StandardScaler(), model).fit(data.data[parts["train"]], data.target[parts["train"]])
                # In the order of the file, so that rows pair up with other predictors'.
                rows = sorted(parts["test"])
                answers = fitted.predict(data.data[rows])
                for row, answer in zip(rows, answers):
                    wrong = float(answer != data.target[row]) if classes else float((answer - data.target[row]) ** 2)
                    baselines.append([seed, name, model_name, row, wrong])
    with open(folder / "baselines.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["seed", "task", "model", "row", "wrong"])
        writer.writerows(baselines)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
