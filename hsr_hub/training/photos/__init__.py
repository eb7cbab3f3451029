"""Where training photographs come from: folders, folders of pairs, data sets of the Hub."""

from hsr_hub.training.photos.datasets import DatasetPhotos, StreamPhotos, load_images
from hsr_hub.training.photos.folders import FolderPhotos, list_photos
from hsr_hub.training.photos.pairs import PairPhotos
from hsr_hub.training.photos.photo import NoPhotosError, Photo, Photos, image_size, read_rgb
from hsr_hub.training.photos.sources import export_validation, open_photos

__all__ = [
    "DatasetPhotos",
    "FolderPhotos",
    "NoPhotosError",
    "PairPhotos",
    "Photo",
    "Photos",
    "StreamPhotos",
    "export_validation",
    "image_size",
    "list_photos",
    "load_images",
    "open_photos",
    "read_rgb",
]
