"""What can be learnt from clips: classes, sentences, or what movements look like; and what each of them is made of."""
