import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** A step of the build that writes what `adapt --version` prints: versions from the POM, the commit from git. */
final class ReleaseFile {
    private static final int COMMIT_LENGTH = 10;

    private ReleaseFile() {}

    /**
     * Writes the file.
     *
     * @param arguments the checkout, the file to write, and its lines {@code key=value}
     */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        Path checkout = Path.of(arguments[0]);
        Path file = Path.of(arguments[1]);
        StringBuilder text = new StringBuilder();
        for (int i = 2; i < arguments.length; i++) {
            text.append(arguments[i]).append('\n');
        }
        text.append("commit=").append(commit(checkout)).append('\n');
        Files.createDirectories(file.getParent());
        Files.writeString(file, text);
    }

    /** The commit of the checkout, with "+" where tracked files differ from it; "unknown" without git. */
    private static String commit(Path checkout) throws IOException, InterruptedException {
        Optional<String> head = git(checkout, "rev-parse", "--short=" + COMMIT_LENGTH, "HEAD");
        if (head.isEmpty()) {
            return "unknown";
        }
        boolean clean = git(checkout, "status", "--porcelain", "--untracked-files=no")
                .map(String::isEmpty)
                .orElse(true);
        return head.get() + (clean ? "" : "+");
    }

    private static Optional<String> git(Path checkout, String... words) throws IOException, InterruptedException {
        String[] command = new String[words.length + 3];
        command[0] = "git";
        command[1] = "-C";
        command[2] = checkout.toString();
        System.arraycopy(words, 0, command, 3, words.length);
        Process git;
        try {
            git = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
        } catch (IOException e) {
            return Optional.empty(); // not installed
        }
        String output;
        try (InputStream in = git.getInputStream()) {
            output = new String(in.readAllBytes(), StandardCharsets.UTF_8).strip();
        }
        return git.waitFor(1, TimeUnit.MINUTES) && git.exitValue() == 0 ? Optional.of(output) : Optional.empty();
    }
}
