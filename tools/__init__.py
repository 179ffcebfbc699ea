"""What maintainers run: exports, benchmarks, and the pictures of the documents."""
