package dev.adapt.train.device;

import ai.djl.Device;
import ai.djl.engine.Engine;
import dev.adapt.formats.UsageException;

/** Where a model computes, as the user asks for it. */
public enum Devices {
    /** The first CUDA device if there is one, else the CPU. */
    AUTO,
    CPU,
    CUDA;

    /**
     * The device this means on this machine.
     *
     * @throws UsageException if CUDA was asked for and is not there
     */
    public Device resolve() {
        Engine engine = Torch.engine();
        boolean cuda = this != CPU && engine.getGpuCount() > 0;
        if (this == CUDA && !cuda) {
            throw new UsageException(
                    "device cuda",
                    "PyTorch " + engine.getVersion()
                            + " finds no CUDA device here; use --device cpu, or point PYTORCH_LIBRARY_PATH at a libtorch with CUDA");
        }
        return cuda ? Device.gpu() : Device.cpu();
    }

    /** What users are told of a device: "CPU", or "GPU 0" for the first CUDA device. */
    public static String name(Device device) {
        return device.isGpu() ? "GPU " + device.getDeviceId() : "CPU";
    }
}
