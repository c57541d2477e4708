package dev.adapt.tests.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * What a process cost, as Linux accounts for it.
 *
 * @param seconds from its start to its end
 * @param cpuSeconds in user and kernel mode, of all its threads, to a hundredth
 * @param peakResident VmHWM, in bytes: mapped files included
 * @param peakAnonymous the most of RssAnon that was seen, in bytes: heap, stacks, buffers, compiled code
 */
record Measured(double seconds, double cpuSeconds, long peakResident, long peakAnonymous) {
    private static final int TICKS_PER_SECOND = 100;
    private static final int POLL_MILLIS = 100;

    /**
     * Runs a process to its end.
     *
     * @throws IllegalStateException with what it wrote, if it ends with another exit code than 0
     */
    static Measured run(List<String> command) throws IOException, InterruptedException {
        Path output = Files.createTempFile("adapt-bench", ".log");
        try {
            double cpu = childrenCpuSeconds();
            long start = System.nanoTime();
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            Path status = Path.of("/proc", Long.toString(process.pid()), "status");
            long resident = 0;
            long anonymous = 0;
            // rarely: on few cores, who watches takes from what he measures
            do {
                String text = read(status);
                resident = Math.max(resident, kilobytes(text, "VmHWM:"));
                anonymous = Math.max(anonymous, kilobytes(text, "RssAnon:"));
            } while (!process.waitFor(POLL_MILLIS, TimeUnit.MILLISECONDS));
            int exitCode = process.exitValue();
            double seconds = (System.nanoTime() - start) / 1e9;
            if (exitCode != 0) {
                throw new IllegalStateException(
                        command + " ended with exit code " + exitCode + ": " + Files.readString(output));
            }
            return new Measured(seconds, childrenCpuSeconds() - cpu, resident << 10, anonymous << 10);
        } finally {
            Files.delete(output);
        }
    }

    private static String read(Path status) {
        try {
            return Files.readString(status);
        } catch (IOException e) {
            return ""; // the process is gone
        }
    }

    private static long kilobytes(String status, String field) {
        int at = status.indexOf(field);
        return at < 0
                ? 0
                : Long.parseLong(status.substring(at + field.length(), status.indexOf("kB", at))
                        .strip());
    }

    /** Fields 16 and 17 of stat, in ticks: the CPU time of children that have ended. */
    private static double childrenCpuSeconds() throws IOException {
        String stat = Files.readString(Path.of("/proc/self/stat"));
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return (Long.parseLong(fields[13]) + Long.parseLong(fields[14])) / (double) TICKS_PER_SECOND;
    }
}
