"""Put the repository's four packages inside ``medtuning_bench``, which is what is installed.

``datasets`` is also the name of a well-known package of Hugging Face: at the top of an environment
one would overwrite the other.
"""

from setuptools import find_packages, setup

ROOMS = ("bench", "methods", "datasets", "reports")
PACKAGE = "medtuning_bench"

found = []
for room in ROOMS:
    found += find_packages(include=[room, f"{room}.*"])
setup(
    packages=[PACKAGE, *(f"{PACKAGE}.{name}" for name in found)],
    package_dir={PACKAGE: PACKAGE} | {f"{PACKAGE}.{room}": room for room in ROOMS},
)
