"""Many runs for one answer: ablations, folds, seeds, probes, jobs of teachers, and fine-tuning up to a bundle."""
