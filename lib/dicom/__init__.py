"""DICOM in and out: image series to volumes, label maps to SEG objects and back."""
