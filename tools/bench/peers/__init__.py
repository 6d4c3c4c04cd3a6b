"""What others recognise skeletons with, written anew from the papers, to be trained and timed beside this project's."""
