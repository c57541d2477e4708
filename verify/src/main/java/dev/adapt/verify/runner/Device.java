package dev.adapt.verify.runner;

/** Where ONNX Runtime is asked to run. */
public enum Device {
    /** CUDA where it works, else the CPU. */
    AUTO,
    CPU,
    /** CUDA, or an error. */
    CUDA
}
