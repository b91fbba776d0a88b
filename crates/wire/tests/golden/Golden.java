// Writes the golden bytes of the Kafka codec's tests: every version of every message that
// Tramline speaks, as the official Java client spells it.
//
// Per API one file `<ApiName>.hex` with lines `request|response <version> full|bare <hex>`.
// `full` sets every field that the version has to a value of its own, with two elements in the
// outermost arrays and one in inner ones; `bare` leaves the defaults and makes null what may be
// null. `apis.txt` has one line per API and version: key, name, version, and the versions of
// the request and response headers.
//
// To regenerate, from this directory, with kafka-clients 4.3.0 and slf4j-api on the class path:
//
//   mvn dependency:get -Dartifact=org.apache.kafka:kafka-clients:4.3.0
//   java -cp kafka-clients-4.3.0.jar:slf4j-api.jar Golden.java .

import java.io.PrintWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.internal.MemoryRecords;

public class Golden {
    static final short[] API_KEYS = {
        0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 42, 43, 44,
        46, 47, 48, 49, 55, 60, 61, 74, 75
    };

    /** Makes every value of a message different. */
    static int counter;

    public static void main(String[] args) throws Exception {
        Path directory = Path.of(args[0]);
        try (PrintWriter apis = new PrintWriter(Files.newBufferedWriter(directory.resolve("apis.txt")))) {
            for (short key : API_KEYS) {
                ApiMessageType api = ApiMessageType.fromApiKey(key);
                String name = api.newRequest().getClass().getSimpleName().replace("RequestData", "");
                short max = api.highestSupportedVersion(false); // without unstable versions
                try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(directory.resolve(name + ".hex")))) {
                    for (short v = api.lowestSupportedVersion(); v <= max; v++) {
                        apis.printf("%d %s %d %d %d%n", key, name, v,
                            api.requestHeaderVersion(v), api.responseHeaderVersion(v));
                        for (boolean full : new boolean[] {true, false}) {
                            String label = full ? "full" : "bare";
                            out.printf("request %d %s %s%n", v, label, hex(api.newRequest(), v, full));
                            out.printf("response %d %s %s%n", v, label, hex(api.newResponse(), v, full));
                        }
                    }
                }
            }
        }
    }

    static String hex(Message message, short version, boolean full) throws Exception {
        counter = 0;
        fill(message, version, full, 2);
        ByteBufferAccessor bytes = MessageUtil.toByteBufferAccessor(message, version);
        ByteBuffer buffer = bytes.buffer();
        byte[] array = new byte[buffer.remaining()];
        buffer.get(array);
        return HexFormat.of().formatHex(array);
    }

    /** The types of the fields that a structure has in a version, by name in snake case. */
    static TreeMap<String, Type> fieldsOf(Class<?> kind, short version) throws Exception {
        TreeMap<String, Type> fields = new TreeMap<>();
        for (BoundField field : ((Schema[]) kind.getField("SCHEMAS").get(null))[version].fields()) {
            if (field.def.type instanceof TaggedFields tagged) {
                tagged.fields().values().forEach(it -> fields.put(flat(it.name), it.type));
            } else {
                fields.put(flat(field.def.name), field.def.type);
            }
        }
        return fields;
    }

    static String flat(String name) {
        return name.replace("_", "").toLowerCase();
    }

    static void fill(Message message, short version, boolean full, int elements) throws Exception {
        TreeMap<String, Type> types = fieldsOf(message.getClass(), version);
        for (Field field : message.getClass().getDeclaredFields()) {
            Type type = types.get(flat(field.getName()));
            if (Modifier.isStatic(field.getModifiers()) || type == null) {
                continue;
            }
            field.setAccessible(true);
            if (full) {
                field.set(message, value(field, type, version, elements));
            } else if (type.isNullable()) {
                field.set(message, null);
            }
        }
    }

    @SuppressWarnings("unchecked")
    static Object value(Field field, Type type, short version, int elements) throws Exception {
        Class<?> kind = field.getType();
        if (!Collection.class.isAssignableFrom(kind)) {
            return value(kind, version);
        }
        Collection<Object> values =
            kind == List.class ? new ArrayList<>() : (Collection<Object>) kind.getConstructor().newInstance();
        java.lang.reflect.Type generic = kind == List.class ? field.getGenericType() : kind.getGenericSuperclass();
        Class<?> element = (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
        for (int i = 0; i < elements; i++) {
            values.add(value(element, version));
        }
        return values;
    }

    static Object value(Class<?> kind, short version) throws Exception {
        counter++;
        if (kind == boolean.class) {
            return counter % 2 == 0;
        } else if (kind == byte.class || kind == Byte.class) {
            return (byte) counter;
        } else if (kind == short.class) {
            return (short) (counter + 0x100);
        } else if (kind == int.class || kind == Integer.class) {
            return counter + 0x10000;
        } else if (kind == double.class) {
            return counter + 0.5;
        } else if (kind == long.class) {
            return counter + 0x100000000L;
        } else if (kind == String.class) {
            return "text-" + counter;
        } else if (kind == byte[].class) {
            return ("bytes-" + counter).getBytes();
        } else if (kind == Uuid.class) {
            return new Uuid(0x0102030405060708L, counter);
        } else if (Message.class.isAssignableFrom(kind)) {
            Message message = (Message) kind.getConstructor().newInstance();
            fill(message, version, true, 1);
            return message;
        } else {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(("records-" + counter).getBytes()));
        }
    }
}
