package dev.adapt.cli.train;

import dev.adapt.train.DevData;
import java.nio.file.Path;
import picocli.CommandLine.ITypeConverter;

/** Reads {@code --eval}: {@code 10%}, {@code none} or a file's name. */
final class DevDataConverter implements ITypeConverter<DevData> {
    @Override
    public DevData convert(String value) {
        if (value.equals("none")) {
            return new DevData.None();
        }
        if (value.matches("\\d{1,3}(\\.\\d{1,6})?%")) {
            return new DevData.Share(Double.parseDouble(value.substring(0, value.length() - 1)) / 100);
        }
        return new DevData.Held(Path.of(value));
    }
}
