//! Fuzz targets, one a decoder, and a smoke run of all of them.
