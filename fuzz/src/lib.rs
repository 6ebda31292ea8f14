//! Fuzz targets as plain functions and their seeded runner.
