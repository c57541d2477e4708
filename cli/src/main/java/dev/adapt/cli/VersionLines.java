package dev.adapt.cli;

import dev.adapt.cli.terminal.Release;
import dev.adapt.train.device.Torch;
import dev.adapt.verify.suite.Environment;
import picocli.CommandLine.IVersionProvider;

/** What {@code --version} prints: adapt, its commit, Java, libtorch, ONNX Runtime and where that can run. */
final class VersionLines implements IVersionProvider {
    @Override
    public String[] getVersion() {
        Release release = Release.here();
        Environment here = Environment.here();
        return new String[] {
            "adapt " + release.version() + " (commit " + release.commit() + ")",
            "Java " + here.java() + " (" + System.getProperty("java.vendor") + "), " + System.getProperty("java.home"),
            Torch.hasLibtorch()
                    ? "libtorch " + release.libtorch() + ", by DJL " + release.djl()
                    : "libtorch: not in this installation",
            "ONNX Runtime " + here.onnxRuntime() + ", providers: " + String.join(", ", here.providers()),
            here.system()
        };
    }
}
