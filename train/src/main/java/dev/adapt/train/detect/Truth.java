package dev.adapt.train.detect;

/** An object that is in an image. */
public record Truth(int label, Box box) {}
